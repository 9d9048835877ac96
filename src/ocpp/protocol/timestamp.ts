// Times as chargers write them: RFC 3339, and what real 1.6 chargers make of it, a time without a zone (UTC is meant).

/** Undefined where no instant can be read, and where the clock was never set. */
export function instantOf(text: string): Date | undefined {
  const instant = parseTimestamp(text);
  return instant && instant.getTime() >= NEVER_SET ? instant : undefined;
}

/** No charger is older; some tell 1970 until they have been told the time. */
const NEVER_SET = Date.UTC(2001, 0);

/** Undefined where no instant can be read. */
export function parseTimestamp(text: string): Date | undefined {
  const hasZone = /(z|[+-]\d{2}:?\d{2})$/i.test(text);
  const instant = new Date(hasZone ? text : `${text}Z`);
  return /^\d{4}-\d{2}-\d{2}[t ]/i.test(text) && !Number.isNaN(instant.getTime()) ? instant : undefined;
}
