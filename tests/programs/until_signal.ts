// A program for the tests of runUntilSignal: works in the way that its argument says.
import process from "node:process";
import { runUntilSignal } from "../../client/run_until_signal.ts";

const [how = "", graceMs = "10000"] = process.argv.slice(2);

const closing = (name: string) => ({
  close: () => console.log(`close ${name}`),
});
const stubborn = {
  close: () => {
    console.log("closing never ends");
    return new Promise(() => {});
  },
};

async function work(signal: AbortSignal): Promise<void> {
  console.log("ready");
  if (how === "returns") return;
  if (how === "fails") throw new Error("as wanted");
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  console.log(`asked: ${signal.reason.message}`);
  if (how === "rejects") signal.throwIfAborted();
  if (how === "fails late") throw new Error("as wanted");
  if (how === "ignores") await new Promise(() => {});
  console.log("work done");
}

const close = [closing("first"), ...(how === "stubborn" ? [stubborn] : []), closing("last")];
const by = await runUntilSignal(work, { graceMs: Number(graceMs), close });
const left = ["SIGINT", "SIGTERM"].map((name) => process.listenerCount(name));
console.log(`ended by ${by}, listeners ${left.join()}`);
