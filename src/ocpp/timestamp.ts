// Times as chargers write them: RFC 3339, and what real 1.6 chargers make of it, a time without a zone (UTC is meant).

/** Undefined where no instant can be read. */
export function parseTimestamp(text: string): Date | undefined {
  const hasZone = /(z|[+-]\d{2}:?\d{2})$/i.test(text);
  const instant = new Date(hasZone ? text : `${text}Z`);
  return /^\d{4}-\d{2}-\d{2}[t ]/i.test(text) && !Number.isNaN(instant.getTime()) ? instant : undefined;
}
