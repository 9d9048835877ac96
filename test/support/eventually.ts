// Repeats a claim until it does not throw; after the deadline the last failure is thrown.

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
