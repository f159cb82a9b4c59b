// Loaded before the emulator. It ends when stdin does: the process that started
// it holds the other end, so it ends with it, however that came about. Requests
// under way are answered, or cut off if they take long, and only then the rows
// are saved: what was acknowledged is there again after a restart.
const http = require("http");

const servers = [];
const listen = http.Server.prototype.listen;
http.Server.prototype.listen = function (...args) {
  servers.push(this);
  return listen.apply(this, args);
};

let stopping = false;
function stop() {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), 8000).unref(); // Something hangs.
  const each = (method) => servers.forEach((server) => server[method]());
  const idle = setInterval(() => each("closeIdleConnections"), 20);
  setTimeout(() => each("closeAllConnections"), 500).unref(); // Also those without a request yet.
  Promise.all(servers.map((server) => new Promise((done) => server.close(done)))).then(() => {
    clearInterval(idle);
    process.emit("SIGINT"); // What it saves its rows for.
  });
}

process.stdin.on("end", stop);
process.stdin.on("error", stop);
process.stdin.resume();
