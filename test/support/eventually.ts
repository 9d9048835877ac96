// Polls until what is claimed holds, with a deadline; the last failure is the one reported.

export async function eventually<T>(claim: () => T | Promise<T>, deadlineMs = 8000): Promise<T> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await claim();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
