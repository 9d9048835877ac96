// A queue of messages in the order they came: a reader waits for the next one, up to a deadline, and misses none.

export class Queue<T> {
  readonly all: T[] = [];
  #read = 0;
  #wake: (() => void)[] = [];

  push(message: T): void {
    this.all.push(message);
    for (const wake of this.#wake.splice(0)) wake();
  }

  async next(deadlineMs = 8000): Promise<T> {
    const end = Date.now() + deadlineMs;
    while (this.#read >= this.all.length) {
      const leftMs = end - Date.now();
      if (leftMs <= 0) throw new Error(`Nothing came within ${deadlineMs} ms; so far: ${JSON.stringify(this.all)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    this.#read += 1;
    return this.all[this.#read - 1] as T;
  }

  /** The next message that matches; skips those that do not. */
  async until(matches: (message: T) => boolean, deadlineMs = 8000): Promise<T> {
    for (;;) {
      const message = await this.next(deadlineMs);
      if (matches(message)) return message;
    }
  }
}
