// Uses one codec and nothing else: a bundle of this program holds no NATS client.
import { json } from "@x/jsflow";

console.log(json<number>().decode(json<number>().encode(1)));
