/** Which client reports, and to which server it talks. */
export interface ClientIdentity {
  /** The name of the client's connection. */
  readonly clientName: string;
  /** Host name or address of the server. */
  readonly serverAddress?: string | undefined;
  /** Port of the server. */
  readonly serverPort?: number | undefined;
}
