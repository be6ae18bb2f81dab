// A program for the tests of spawnProgram: does what its argument says.
import process from "node:process";

const [what = "", detail = ""] = process.argv.slice(2);
if (what === "exit") process.exit(Number(detail));
if (what === "print") {
  const value: string | undefined = process.env[detail];
  console.log(`${detail}=${value}`);
  console.error("to standard error");
}
if (what === "tick") setInterval(() => console.log("tick"), 10);
if (what === "echo") {
  process.stdin.setEncoding("utf8");
  process.stdin.on("data", (text: string) => console.log(`got ${text.trim()}`));
  console.log("ready");
}
if (what === "server") {
  const { NatsServer } = await import("../nats_server.ts");
  const { spawnProgram } = await import("../spawn_program.ts");
  const server = await NatsServer.start();
  const child = spawnProgram(new URL("program.ts", import.meta.url), ["tick"]);
  console.log(`pids ${server.pid} ${child.pid} ${server.storeDir}`);
  if (detail === "throw") throw new Error("as wanted");
  if (detail === "exit") process.exit(0);
}
