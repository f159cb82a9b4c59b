package azurite

import (
	"embed"

	"spillway/tests/npm"
)

// files is what an installation is made from.
//
//go:embed package.json package-lock.json .npmrc stop-with-stdin.js
var files embed.FS

// install returns the folder of the emulator, which is in the user's cache, and
// installs it there unless that has been done for these files before.
func install() (folder string, err error) {
	return npm.Package{Name: "azurite", Files: files}.Install()
}
