// Everything about the connection comes from the environment: NATS_URL, NATS_USER, NATS_PASSWORD,
// NATS_CREDS, NATS_TLS_CA and so on. Runs until it is stopped by SIGINT or SIGTERM.
import { configFromEnv, connect, runUntilSignal } from "@x/jsflow";

const client = await connect(configFromEnv());
console.log(client.options); // secrets are not shown
const { ok, rttMs, serverVersion } = await client.health();
console.log(
  ok
    ? `nats-server ${serverVersion} answered in ${rttMs?.toFixed(1)} ms`
    : "the server is not well",
);

await runUntilSignal(async (signal) => {
  console.log("ready");
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  console.log("stopping");
}, { close: [client] });
console.log("closed");
