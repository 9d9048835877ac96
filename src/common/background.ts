// Tracks work that goes on after its client has left, such as storing a charger's answer. A stop of the server waits
// for it.

export class Background {
  readonly #open = new Set<Promise<unknown>>();

  /** Returns the same promise; the caller must handle its rejection. */
  track<T>(work: Promise<T>): Promise<T> {
    this.#open.add(work);
    const done = () => this.#open.delete(work);
    work.then(done, done);
    return work;
  }

  /** Resolves once all tracked work has ended, including work that was tracked during the wait. */
  async ended(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled([...this.#open]);
  }
}
