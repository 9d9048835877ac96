// An idTag: a driver's credential, and the group (parentIdTag) that shares it.

/** The type of a token in OCPP 2.x; OCPP 1.6 has no types. */
export type TokenType =
  | 'CENTRAL'
  | 'EMAID'
  | 'ISO14443'
  | 'ISO15693'
  | 'KEY_CODE'
  | 'LOCAL'
  | 'MAC_ADDRESS'
  | 'NO_AUTHORIZATION';

export interface IdTag {
  readonly idTag: string;
  readonly tokenType: TokenType;
  readonly parentIdTag?: string;
  readonly status: 'ACCEPTED' | 'BLOCKED';
  readonly expiryDate?: Date;
}

/** Both protocols compare identifiers without regard to case. */
export const sameId = (one: string | undefined, other: string | undefined): boolean =>
  one !== undefined && other !== undefined && one.toLowerCase() === other.toLowerCase();

export type IdTagStatus = 'ACCEPTED' | 'BLOCKED' | 'EXPIRED' | 'INVALID';

/** The status of the idTag itself at `now`, without regard to holds. */
export function statusOf(idTag: IdTag | undefined, now: Date): IdTagStatus {
  if (!idTag) return 'INVALID';
  if (idTag.status === 'BLOCKED') return 'BLOCKED';
  return idTag.expiryDate && idTag.expiryDate <= now ? 'EXPIRED' : 'ACCEPTED';
}

/** The longest idTag, in characters, that a charger of that OCPP version accepts; 20 while the version is unknown. */
export const maxIdTagLength = (ocppVersion: string | undefined): number =>
  ocppVersion === '2.0.1' ? 36 : ocppVersion === '2.1' ? 255 : 20;
