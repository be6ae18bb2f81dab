/** What is known about a blob without reading it. */
export interface BlobInfo {
  /** Its name. */
  readonly name: string;
  /** Its size in bytes. */
  readonly sizeBytes: number;
  /** The SHA-256 of its content: `SHA-256=` and base64 with the alphabet for URLs. */
  readonly digest: string;
  /** Rises each time that something is put under the name, or deleted. */
  readonly revision: number;
  /** When the server stored it, by the server's clock. */
  readonly time: Date;
  /** A text for people; "" when none was given. */
  readonly description: string;
  /** Texts for programs, by name. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What it stands for, when other software has stored a link instead of content. */
  readonly link?: BlobLink | undefined;
}

/** The target of a link, which this library shows but neither makes nor follows. */
export interface BlobLink {
  /** The bucket that it points to. */
  readonly bucket: string;
  /** The blob in it; undefined when it points to the bucket as a whole. */
  readonly name?: string | undefined;
}
