// An absent fact is an absent member, never null: rows and wire messages pass through here on their way in.

type Present<T> = { [K in keyof T]?: NonNullable<T[K]> };

/** The members that are neither undefined nor null. */
export const present = <T extends object>(members: T): Present<T> =>
  Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined && value !== null),
  ) as Present<T>;
