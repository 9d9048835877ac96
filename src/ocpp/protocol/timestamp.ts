// Reads timestamps of chargers: RFC 3339, and the form without a zone that real 1.6 chargers send, which means UTC.

/** Undefined when the text is no timestamp, or lies before 2001: then the charger's clock was never set. */
export function instantOf(text: string): Date | undefined {
  const instant = parseTimestamp(text);
  return instant && instant.getTime() >= NEVER_SET ? instant : undefined;
}

/** No correct timestamp is older; some chargers send 1970 until their clock is set. */
const NEVER_SET = Date.UTC(2001, 0);

/** Undefined when the text is no timestamp. */
export function parseTimestamp(text: string): Date | undefined {
  const hasZone = /(z|[+-]\d{2}:?\d{2})$/i.test(text);
  const instant = new Date(hasZone ? text : `${text}Z`);
  return /^\d{4}-\d{2}-\d{2}[t ]/i.test(text) && !Number.isNaN(instant.getTime()) ? instant : undefined;
}
