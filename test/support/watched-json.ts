/** A JSON document that notes which of its members are read. */
export interface WatchedJson {
  readonly value: unknown;
  /** Paths of the scalars that nobody has read so far, e.g. `/quotes/0/nonce`. */
  readonly unread: () => readonly string[];
}

/** Wraps a document, so that a test over recorded data can find out what it leaves out. */
export function watchJson(document: unknown): WatchedJson {
  const left = new Set(scalars(document, ''));
  return { value: watched(document, '', left), unread: () => [...left] };
}

function scalars(value: unknown, at: string): string[] {
  if (typeof value !== 'object' || value === null) return [at];
  return Object.entries(value).flatMap(([name, member]) => scalars(member, `${at}/${name}`));
}

function watched(value: unknown, at: string, left: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) {
    left.delete(at);
    return value;
  }
  return new Proxy(value, {
    get: (target, name, receiver) => {
      const member: unknown = Reflect.get(target, name, receiver);
      // What every array and object has, its methods, is no member of the document.
      if (typeof name === 'symbol' || !Object.hasOwn(target, name) || name === 'length') return member;
      return watched(member, `${at}/${name}`, left);
    },
  });
}
