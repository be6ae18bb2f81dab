import assert from "node:assert/strict";
import { test } from "node:test";
import { ownComplaints } from "./check_docs.ts";

const foreign = `error[missing-jsdoc]: exported symbol is missing JSDoc documentation
   --> /a/node_modules/.deno/p@1/node_modules/p/lib/core.d.ts:305:18
    |
305 | export interface NatsConnection {
    |                  ^
`;
const own = `error[private-type-ref]: public type 'A' references private type 'B'
   --> /a/client/a.ts:8:3
    |
  8 |   readonly b: B;
    | - this is the referenced type
`;

test("leaves out complaints about other packages' types", () => {
  const end = "\n\nerror: Found 2 documentation lint errors.\n\nStack backtrace:\n";
  assert.deepEqual(ownComplaints(`${foreign}\n\n${own}${end}`), [own.trim()]);
  assert.deepEqual(ownComplaints(`${foreign}${end}`), []);
  assert.deepEqual(ownComplaints(""), []);
});
