// The order workflow of the demo: validate, charge, ship.
import { json, TerminalError, type Workflow, workflow } from "@x/jsflow";
import { setTimeout as pause } from "node:timers/promises";

export interface Order {
  readonly id: string;
  readonly customer: string;
  readonly currency: string;
  readonly items: readonly OrderItem[];
}

export interface OrderItem {
  readonly sku: string;
  readonly quantity: number;
  readonly unitCents: number;
}

export interface Receipt {
  readonly order: string;
  readonly charged: string;
  readonly payment: string;
  readonly tracking: string;
}

/** The services outside that the workflow calls. */
export interface Outside {
  readonly charge: (cents: number, idempotencyKey: string) => Promise<string>;
  readonly ship: (order: Order, idempotencyKey: string) => Promise<string>;
  readonly report: (line: string) => void;
}

export function orderWorkflow(outside: Outside): Workflow<Order, Receipt> {
  return workflow("order", { input: json<Order>() }, async (ctx, order): Promise<Receipt> => {
    const cents = await ctx.run("validate", () => {
      outside.report("validate: checking the items");
      return totalCents(order);
    });
    const payment = await ctx.run("charge", async ({ idempotencyKey }) => {
      outside.report(`charge: ${money(cents, order.currency)}, key ${idempotencyKey}`);
      return await outside.charge(cents, idempotencyKey);
    }, { retry: { attempts: 5 } });
    const tracking = await ctx.run("ship", async ({ idempotencyKey }) => {
      outside.report(`ship: handing ${order.items.length} items to the carrier`);
      await pause(1_000);
      return await outside.ship(order, idempotencyKey);
    });
    return { order: order.id, charged: money(cents, order.currency), payment, tracking };
  });
}

/** What an order costs; an order that makes no sense fails for good. */
export function totalCents(order: Order): number {
  if (order.items.length === 0) throw new TerminalError(`order ${order.id} has no items`);
  let total = 0;
  for (const { sku, quantity, unitCents } of order.items) {
    const valid = Number.isSafeInteger(quantity) && quantity > 0 &&
      Number.isSafeInteger(unitCents) && unitCents >= 0;
    if (!valid) throw new TerminalError(`order ${order.id}: "${sku}" has a bad quantity or price`);
    total += quantity * unitCents;
  }
  return total;
}

export function money(cents: number, currency: string): string {
  return `${(cents / 100).toFixed(2)} ${currency}`;
}
