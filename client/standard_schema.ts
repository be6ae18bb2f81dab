/**
 * A schema by the Standard Schema specification, version 1, as implemented by Valibot, Zod,
 * ArkType and others.
 *
 * This is a structural copy of the published type, so that any such library fits without being a
 * dependency.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** The schema's properties under the name that the specification reserves. */
  readonly "~standard": StandardSchemaProps<Input, Output>;
}

/** The properties of a {@link StandardSchema}. */
export interface StandardSchemaProps<Input = unknown, Output = Input> {
  /** The version of the specification. */
  readonly version: 1;
  /** The library that made the schema. */
  readonly vendor: string;
  /** Checks a value; a promise when the schema is asynchronous. */
  readonly validate: (
    value: unknown,
    // deno-lint-ignore no-explicit-any -- libraries differ in the shape of the second argument
    options?: any,
  ) => StandardSchemaResult<Output> | Promise<StandardSchemaResult<Output>>;
  /** The types that the schema infers; never present at run time. */
  readonly types?: StandardSchemaTypes<Input, Output> | undefined;
}

/** The types that a {@link StandardSchema} infers. */
export interface StandardSchemaTypes<Input = unknown, Output = Input> {
  /** The type before validation. */
  readonly input: Input;
  /** The type after validation. */
  readonly output: Output;
}

/** What validation returns: a value, or the issues that speak against it. */
export type StandardSchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardSchemaIssue[] };

/** One reason why a value was rejected. */
export interface StandardSchemaIssue {
  /** What is wrong. */
  readonly message: string;
  /** Where it is wrong, from the root of the value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
