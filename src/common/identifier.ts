// What names a thing: text that every charger, log and database takes as it is.

export const isIdentifier = (text: string): boolean => /^[\x20-\x7e]{1,255}$/.test(text);

/** Of what PostgreSQL has a key of that type for. */
export const isUuid = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
