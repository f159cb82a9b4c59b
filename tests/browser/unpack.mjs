// Unpacks the browser that the package holds compressed: the program, and the
// libraries and fonts that a bare machine lacks.
import { createReadStream, createWriteStream } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import tar from "tar-fs";

const from = (name) => createReadStream(join("node_modules", "@sparticuz", "chromium", "bin", name));

await Promise.all([
  pipeline(from("chromium.br"), createBrotliDecompress(), createWriteStream("chromium")),
  pipeline(from("al2023.tar.br"), createBrotliDecompress(), tar.extract(".")),
  pipeline(from("fonts.tar.br"), createBrotliDecompress(), tar.extract(".")),
]);
await chmod("chromium", 0o755);
