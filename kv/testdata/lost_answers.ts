/** Coordinations whose updates are stored, or not, without their caller being told. */
import { JsflowError } from "../../client/errors.ts";
import { FaultProxy } from "../../testing/fault_proxy.ts";
import type { Coordination } from "../coordination.ts";
import { type CoordinationGround, patchStore, type SpaceBelow } from "./coordination_ground.ts";

/** A coordination behind a proxy that can lose an answer. */
export interface LossyCoordination {
  readonly behind: Coordination;
  /** Loses all that the server says from the next update on, until `heal`. */
  readonly loseNext: () => void;
  readonly heal: () => void;
}

/** Runs a test with another coordination, whose answers can be lost. */
export async function withLostAnswers<S extends SpaceBelow>(
  ground: CoordinationGround<S>,
  use: (lossy: LossyCoordination) => Promise<void>,
): Promise<void> {
  const proxy = await FaultProxy.start({ target: { port: ground.nats.server.port } });
  try {
    const behind = await ground.another(proxy.url);
    let isLosing = false;
    patchStore(ground.spaceOf(behind), (store) => ({
      update: (key, fn, options) =>
        store.update(key, (value, choices) => {
          if (isLosing) proxy.drop({ direction: "toClient" });
          isLosing = false;
          return fn(value, choices);
        }, options),
    }));
    const loseNext = () => {
      isLosing = true;
    };
    await use({ behind, loseNext, heal: () => proxy.heal() });
  } finally {
    await proxy.close();
  }
}

/** Makes the next update's outcome unknown, once it is stored or not. */
export function loseOutcome(
  space: SpaceBelow,
  isStored: boolean,
  meanwhile: () => Promise<unknown> = () => Promise.resolve(),
): void {
  let isLost = false;
  patchStore(space, (store) => ({
    update: async (key, fn, options) => {
      if (isLost) return await store.update(key, fn, options);
      isLost = true;
      if (isStored) await store.update(key, fn, options);
      await meanwhile();
      throw new JsflowError("outcome_unknown", "cannot tell");
    },
  }));
}
