/**
 * Judges one argument before anything is done with it.
 * @param name how errors call it, e.g. `request.qualifyingData`
 * @param owner whose method is called: handles must be its own
 * @throws TypeError for another type, RangeError for a value that is out of range
 */
export type Check = (value: unknown, name: string, owner: unknown) => void;

/** A whole number. JavaScript would take '32', null and NaN for numbers too. */
export function integer(min: number, max: number): Check {
  return (value, name) => {
    if (typeof value !== 'number') throw new TypeError(`${name} is ${kindOf(value)}, not a number`);
    if (!Number.isInteger(value) || value < min || value > max)
      throw new RangeError(
        `${name} is ${String(value)}, not a whole number from ${String(min)} to ${String(max)}`,
      );
  };
}

/** A Uint8Array (so a Buffer too) of a size between two. */
export function bytes(min: number, max: number): Check {
  return (value, name) => {
    requireBytes(value, name);
    if (value.length < min || value.length > max)
      throw new RangeError(`${name} of ${String(value.length)} bytes, not ${String(min)} to ${String(max)}`);
  };
}

/** A Uint8Array of one of some sizes. */
export function bytesOfSize(...sizes: readonly number[]): Check {
  return (value, name) => {
    requireBytes(value, name);
    if (!sizes.includes(value.length))
      throw new RangeError(`${name} of ${String(value.length)} bytes, not ${sizes.join(', ')}`);
  };
}

/** One of some names or numbers. */
export function oneOf(...known: readonly (string | number)[]): Check {
  return (value, name) => {
    if (typeof value !== typeof known[0]) throw new TypeError(`${name} is ${kindOf(value)}`);
    if (!known.some((one) => one === value))
      throw new RangeError(`${name} is ${String(value)}, not one of ${known.join(', ')}`);
  };
}

/** Anything of a class. */
export function instanceOf(type: abstract new (...args: never) => unknown): Check {
  return (value, name) => {
    if (!(value instanceof type)) throw new TypeError(`${name} is ${kindOf(value)}, not a ${type.name}`);
  };
}

/** Undefined, or what another check takes. Null isn't undefined. */
export function optional(check: Check): Check {
  return (value, name, owner) => {
    if (value !== undefined) check(value, name, owner);
  };
}

/** Every check takes it. */
export function all(...checks: readonly Check[]): Check {
  return (value, name, owner) => {
    for (const check of checks) check(value, name, owner);
  };
}

/** An array of so many, each of which the check takes. */
export function list(check: Check, min: number, max: number): Check {
  return (value, name, owner) => {
    if (!Array.isArray(value)) throw new TypeError(`${name} is ${kindOf(value)}, not an array`);
    if (value.length < min || value.length > max)
      throw new RangeError(`${name} of ${String(value.length)}, not ${String(min)} to ${String(max)}`);
    // By index: forEach would leave the holes of an array out.
    for (let i = 0; i < value.length; i++) check(value[i] as unknown, `${name}[${String(i)}]`, owner);
  };
}

/** An object with these members; it may have others. */
export function record(members: Readonly<Record<string, Check>>): Check {
  const entries = Object.entries(members);
  return (value, name, owner) => {
    requireObject(value, name);
    for (const [member, check] of entries) check(value[member], `${name}.${member}`, owner);
  };
}

/** An object whose keys are all among `keys`, with at least one, each value of which the key's check takes. */
export function mapping(keys: Readonly<Record<string, Check>>): Check {
  return (value, name, owner) => {
    requireObject(value, name);
    const given = Object.entries(value);
    if (given.length === 0) throw new RangeError(`${name} is empty`);
    for (const [key, one] of given) {
      const check = Object.hasOwn(keys, key) ? keys[key] : undefined;
      if (check === undefined) throw new RangeError(`${name} has ${key}`);
      check(one, `${name}.${key}`, owner);
    }
  };
}

function requireBytes(value: unknown, name: string): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${name} is ${kindOf(value)}, not a Uint8Array`);
}

function requireObject(value: unknown, name: string): asserts value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null)
    throw new TypeError(`${name} is ${kindOf(value)}, not an object`);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : typeof value;
}
