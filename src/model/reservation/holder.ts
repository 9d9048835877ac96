// Decides who may use a hold and whose it is, for authorization, uses, breaches, rights and events alike.
import { sameId, type TokenType } from '../charger/id-tag.ts';

/** The fields of a reservation that name its holder. */
export interface HeldFor {
  /** Absent for a reservation of a group alone. */
  readonly idTag?: string | undefined;
  /** Absent where any type will do. */
  readonly tokenType?: TokenType | undefined;
  readonly parentIdTag?: string | undefined;
}

/** An idTag that was presented, with its own group. */
export interface Presented {
  readonly idTag?: string | undefined;
  /** Absent in OCPP 1.6, which has no types. */
  readonly tokenType?: TokenType | undefined;
  readonly parentIdTag?: string | undefined;
}

/**
 * Whether a start with that idTag may use the hold: the holder itself, whose token type OCPP 2.x compares as well, or a
 * member of the group that the reservation names. A parentIdTag presented as an idTag does not count as a member.
 */
export function mayUse(hold: HeldFor, presented: Presented): boolean {
  const { tokenType } = presented;
  const isSameType = tokenType === undefined || hold.tokenType === undefined || tokenType === hold.tokenType;
  return (isSameType && sameId(hold.idTag, presented.idTag)) || sameId(hold.parentIdTag, presented.parentIdTag);
}

/** The idTags and groups that somebody acts for. */
export interface Holders {
  readonly idTags: readonly string[];
  /** Groups count only for what is held for a group alone: other members' reservations are their own. */
  readonly groups: readonly string[];
}

/** Whether the hold belongs to one of these, who then may see and change it, and get its events. */
export function belongsTo({ idTag, parentIdTag }: HeldFor, { idTags, groups }: Holders): boolean {
  if (idTag !== undefined) return idTags.some((one) => sameId(one, idTag));
  return groups.some((one) => sameId(one, parentIdTag));
}
