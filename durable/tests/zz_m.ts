import { explore } from "/work/main/durable/tests/explore.ts";
import { ProtocolModel } from "/work/main/durable/tests/protocol_model.ts";
const [workers, faults, max] = process.argv.slice(2).map(Number) as [number, number, number];
let total = 0;
for (const program of [["run", "run", "run"], ["run", "wait", "run"]] as const) {
  for (
    const commands of [["start", "start", "signal", "cancel"], [
      "start",
      "start",
      "pause",
      "resume",
    ]] as const
  ) {
    const t = performance.now();
    try {
      const r = explore(
        new ProtocolModel({ program, commands, workers, faults, maxTakeovers: 1, staleRecords: Number(process.argv[5] ?? 2) }),
        max,
      );
      total += r.states;
      console.log(
        program.join(),
        commands.join(),
        r.states,
        r.transitions,
        Math.round(performance.now() - t),
        r.finding?.what,
        r.finding?.trace,
      );
    } catch (e) {
      console.log(String(e), Math.round(performance.now() - t));
    }
  }
}
console.log(total);
