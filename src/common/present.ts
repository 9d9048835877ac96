// Drops members that are null or undefined, for rows and wire messages on their way in or out.

type Present<T> = { [K in keyof T]?: NonNullable<T[K]> };

export const present = <T extends object>(members: T): Present<T> =>
  Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined && value !== null),
  ) as Present<T>;
