// Imports everything that the installed package exports.
import { readFile } from "node:fs/promises";

const manifest = JSON.parse(await readFile("node_modules/@x/jsflow/package.json", "utf8"));
for (const name of Object.keys(manifest.exports)) {
  const names = Object.keys(await import(`${manifest.name}${name.slice(1)}`));
  if (names.length === 0) throw new Error(`${manifest.name}${name.slice(1)} exports nothing`);
  console.log(`${name}: ${names.length} names`);
}
