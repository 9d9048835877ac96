// The texts that count as identifiers: 1 to 255 printable ASCII characters, which chargers, logs and the database carry
// unchanged.

export const isIdentifier = (text: string): boolean => /^[\x20-\x7e]{1,255}$/.test(text);

/** Whether the text can be the key of a row whose key is a uuid in PostgreSQL. */
export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
