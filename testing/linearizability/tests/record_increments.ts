/** A program for the tests of histories: records what it does, until it has done enough. */
import process from "node:process";
import { appendFileSync, readFileSync } from "node:fs";
import { openHistory } from "../history_recorder.ts";

const [path = "", log = "", name = "", count = "0"] = process.argv.slice(2);
const history = openHistory(path, name);
console.log("ready");
for (let n = 1; n <= Number(count); n++) {
  // What all processes append to one file is a set, whose size nobody can have seen too small.
  await history.record({ key: "k", input: { op: "add", member: `${name}-${n}` } }, () => {
    appendFileSync(log, `${name}-${n}\n`);
    return Promise.resolve({});
  });
  const other = `${name === "a" ? "b" : "a"}-${n}`;
  await history.record({ key: "k", input: { op: "contains", member: other } }, () => {
    return Promise.resolve({ present: readFileSync(log, "utf8").includes(`${other}\n`) });
  });
}
history.close();
