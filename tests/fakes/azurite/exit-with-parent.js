// Loaded before the emulator: ends it when the test process that started it is
// gone, however that came about. The test process holds the other end of stdin.
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
process.stdin.resume();
