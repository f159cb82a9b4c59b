// Command spillway is the gateway as one binary: the custom handler of an Azure
// Functions app, a plain server, and the command line for both.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// The exit codes. Zero means done.
const (
	exitFailure = 1
	exitUsage   = 2
	// exitRestart asks a Functions host to start the process again. After a zero it
	// would not, and anything else counts as a failure.
	exitRestart = 200
)

// command is one of the program's commands.
type command struct {
	name    string
	summary string
	run     func(args []string, std streams) error
}

// streams are what a command reads its environment from and writes to.
type streams struct {
	out, err io.Writer
	env      func(string) (string, bool)
}

func commands() []command {
	return []command{
		{"serve", "run the gateway", serve},
		{"validate", "check a configuration and say all that is wrong with it", validate},
		{"status", "show how a gateway and its deployments stand", showStatus},
		{"usage", "report what was used, by whom and where", showUsage},
		{"consumers", "add, change, list and remove consumers without a deployment", manageConsumers},
		{"keys", "make keys for consumers and admins (keys new)", keys},
		{"schema", "print the JSON Schema of gateway.yaml", schema},
		{"version", "print the version", printVersion},
	}
}

func main() {
	os.Exit(run(os.Args[1:], streams{os.Stdout, os.Stderr, os.LookupEnv}))
}

// run runs the command that args name and returns the exit code.
func run(args []string, std streams) int {
	if len(args) == 0 {
		usage(std.err)
		return exitUsage
	}
	name := args[0]
	if name == "help" || name == "-h" || name == "--help" {
		usage(std.out)
		return 0
	}
	for _, c := range commands() {
		if c.name == name {
			return exitCode(c.run(args[1:], std), std)
		}
	}
	fmt.Fprintf(std.err, "spillway: there is no command %q\n\n", name)
	usage(std.err)
	return exitUsage
}

// errUsage is a command line that cannot be understood. What was wrong has been
// printed.
var errUsage = errors.New("usage")

// errSaid is a failure that has been told.
var errSaid = errors.New("said")

// errStopped is the end of a process that a Functions host runs, by a signal from
// somebody else.
var errStopped = errors.New("stopped")

func exitCode(err error, std streams) int {
	switch {
	case errors.Is(err, errSaid):
		return exitFailure
	case errors.Is(err, errStopped):
		return exitRestart
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return exitUsage
	default:
		fmt.Fprintln(std.err, err)
		return exitFailure
	}
}

func usage(w io.Writer) {
	var b strings.Builder
	b.WriteString("spillway routes OpenAI calls to the capacity you have paid for, and spills only the overflow.\n\nusage: spillway COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-10s %s\n", c.name, c.summary)
	}
	b.WriteString("\nspillway COMMAND --help shows the flags of a command.\nexit codes: 0 done, 1 failed, 2 wrong usage, 200 start again (to a Functions host)\n")
	_, _ = io.WriteString(w, b.String())
}

// newFlags is a flag set that prints to std and knows its synopsis.
func newFlags(name, synopsis string, std streams) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(std.err)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: spillway %s %s\n", name, synopsis)
		flags.PrintDefaults()
	}
	return flags
}

// parse parses a command's flags; nothing may follow them.
func parse(flags *flag.FlagSet, args []string, std streams) error {
	for _, arg := range args {
		if arg == "-h" || arg == "--help" || arg == "-help" {
			flags.SetOutput(std.out) // asked for, so not an error
		}
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(std.err, "spillway %s: unexpected %q\n", flags.Name(), flags.Arg(0))
		flags.Usage()
		return errUsage
	}
	return nil
}

func printVersion(args []string, std streams) error {
	flags := newFlags("version", "", std)
	if err := parse(flags, args, std); err != nil {
		return err
	}
	_, err := fmt.Fprintln(std.out, "spillway "+version())
	return err
}

// version is that of the module, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return info.Main.Version
}
