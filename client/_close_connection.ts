import type { CallBounds } from "./call_options.ts";
import { timeoutError, withDeadline } from "./deadline.ts";
import type { NatsConnection } from "./native.ts";

/** Sends what is still to be sent, acks above all; false when the server does not answer. */
export async function flushConnection(
  connection: NatsConnection,
  options: CallBounds,
): Promise<boolean> {
  if (connection.isClosed()) return false;
  const { signal, timeoutMs } = options;
  const onTimeout = () => timeoutError("flush the connection", timeoutMs);
  try {
    await withDeadline({ signal, timeoutMs, onTimeout }, () => connection.flush());
    return true;
  } catch {
    return false;
  }
}

/** Drains a connection whose server answers, then closes it; never rejects. */
export async function closeConnection(
  connection: NatsConnection,
  options: { readonly drain: boolean; readonly timeoutMs: number },
): Promise<void> {
  if (options.drain && !connection.isClosed()) await drain(connection, options.timeoutMs);
  await connection.close();
  discardDial(connection);
}

/** Drains as far as the server answers; what goes wrong here leaves closing as it is. */
async function drain(connection: NatsConnection, timeoutMs: number): Promise<void> {
  const onTimeout = () => timeoutError("drain the connection", timeoutMs);
  const draining = () =>
    connection.isDraining() ? connection.closed() : Promise.race([
      connection.drain(),
      connection.closed(),
    ]);
  await withDeadline({ timeoutMs, onTimeout }, draining).catch(() => {});
}

/**
 * Ends a dial that was under way when the connection closed.
 *
 * The native client forgets that socket: towards a peer that stays silent it would keep the
 * process alive for good.
 */
function discardDial(connection: NatsConnection): void {
  const { protocol } = connection as { protocol?: { transport?: { discard?: () => void } } };
  protocol?.transport?.discard?.();
}
