// Work that nobody waits for: what a charger's answer makes of a reservation goes on when the client has gone. A stop
// waits for it.

export class Background {
  readonly #open = new Set<Promise<unknown>>();

  /** The same promise; whoever starts it answers for its failure. */
  track<T>(work: Promise<T>): Promise<T> {
    this.#open.add(work);
    const done = () => this.#open.delete(work);
    work.then(done, done);
    return work;
  }

  /** Resolves when all that was begun has ended, and all that was begun meanwhile. */
  async ended(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled([...this.#open]);
  }
}
