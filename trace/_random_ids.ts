import { Buffer } from "node:buffer";

/** Random bytes fetched at once: one fetch for each id would cost more than the rest of it. */
const POOL_BYTES = 2_048;

let pool = "";
let used = 0;

/** A random trace id: 32 lower-case hexadecimal digits, not all 0. */
export function randomTraceId(): string {
  return randomHex(32);
}

/** A random span id: 16 lower-case hexadecimal digits, not all 0. */
export function randomSpanId(): string {
  return randomHex(16);
}

function randomHex(digits: number): string {
  for (;;) {
    if (used + digits > pool.length) refill();
    const id = pool.slice(used, used + digits);
    used += digits;
    if (/[1-9a-f]/.test(id)) return id;
  }
}

function refill(): void {
  const bytes = crypto.getRandomValues(new Uint8Array(POOL_BYTES));
  pool = Buffer.from(bytes.buffer).toString("hex");
  used = 0;
}
