/** How many ways to one point are remembered; more only make the search slower. */
const MAX_WAYS = 64;

/**
 * Points of a search that need not be looked at again.
 *
 * Which operations without a result were used on the way there is a set of bits. A way that used
 * the same ones as another, and more, leads to nothing that the other does not.
 */
export class SeenPoints {
  readonly #ways = new Map<string, bigint | bigint[]>();

  /** Adds a point; false when it, or one that leaves more open, was there. */
  add(point: string, used: bigint): boolean {
    const ways = this.#ways.get(point);
    if (ways === undefined) this.#ways.set(point, used);
    else if (typeof ways === "bigint") {
      if (includes(used, ways)) return false;
      this.#ways.set(point, [ways, used]);
    } else {
      if (ways.some((way) => includes(used, way))) return false;
      if (ways.length < MAX_WAYS) ways.push(used);
    }
    return true;
  }
}

function includes(set: bigint, part: bigint): boolean {
  return (set & part) === part;
}
