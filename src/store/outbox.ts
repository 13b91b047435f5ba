/**
 * Messages to another thread, those of one moment together: waking a thread costs more than most of what it is asked,
 * and one decision reads several rows at once.
 */
export class Outbox<M> {
  readonly #port: { postMessage(messages: readonly M[]): void };
  #waiting: M[] = [];

  constructor(port: { postMessage(messages: readonly M[]): void }) {
    this.#port = port;
  }

  send(message: M): void {
    // After whatever else this moment still asks, before anything is waited for.
    if (this.#waiting.length === 0) queueMicrotask(this.#flush);
    this.#waiting.push(message);
  }

  readonly #flush = (): void => {
    const messages = this.#waiting;
    this.#waiting = [];
    this.#port.postMessage(messages);
  };
}
