/** The longest message of an error that is reported, in characters. */
const MAX_MESSAGE_LENGTH = 1_024;

/** What is reported of an error; never its stack, which may hold the arguments of calls. */
export interface DescribedError {
  /** Its code when it is a word, else its name: of low cardinality. */
  readonly type: string;
  /** The name of its class. */
  readonly name: string;
  /** Its message, with what looks like credentials in an address blotted out. */
  readonly message: string;
}

/** Describes what an operation ended by, whatever was thrown. */
export function describeError(error: unknown): DescribedError {
  if (!(error instanceof Error)) {
    return {
      type: "_OTHER",
      name: "_OTHER",
      message: typeof error === "string" ? tidy(error) : "",
    };
  }
  const name = word(error.name) ?? "Error";
  const code = word((error as { code?: unknown }).code);
  return { type: code ?? name, name, message: tidy(String(error.message)) };
}

/** Codes and names are words; anything else could be of any length and cardinality. */
function word(text: unknown): string | undefined {
  return typeof text === "string" && /^[A-Za-z_][\w.-]{0,63}$/.test(text) ? text : undefined;
}

function tidy(message: string): string {
  const start = message.slice(0, 2 * MAX_MESSAGE_LENGTH);
  return start.replace(/:\/\/[^\s/]*@/g, "://***@").slice(0, MAX_MESSAGE_LENGTH);
}
