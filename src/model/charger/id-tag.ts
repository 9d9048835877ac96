// An idTag: a driver's credential, and the group (parentIdTag) that shares it.

/** What kind of token it is, in OCPP 2.x; 1.6 knows only the idTag itself. */
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

/** Whether the idTag by itself may charge at `now`. */
export function statusOf(idTag: IdTag | undefined, now: Date): IdTagStatus {
  if (!idTag) return 'INVALID';
  if (idTag.status === 'BLOCKED') return 'BLOCKED';
  return idTag.expiryDate && idTag.expiryDate <= now ? 'EXPIRED' : 'ACCEPTED';
}

/** Longest idTag a charger of that version takes; 20 characters where the version is not known yet. */
export const maxIdTagLength = (ocppVersion: string | undefined): number =>
  ocppVersion === '2.0.1' ? 36 : ocppVersion === '2.1' ? 255 : 20;
