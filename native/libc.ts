import { readdirSync } from 'node:fs';
import { LIBRARIES, loadLibrary } from './library.ts';

/** Who is at the other end of a Unix socket, as the kernel says (struct ucred). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

const AF_UNIX = 1;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const UCRED_SIZE = 12;

/**
 * SO_PEERCRED of a connected Unix socket, which Node has no call for: the credentials when it was connected.
 * @param descriptor file descriptor of the socket
 * @throws Error when it is no Unix socket
 */
export function peerCredentials(descriptor: number): PeerCredentials {
  const getsockopt = loadLibrary(LIBRARIES.c).function('getsockopt', 'i32', [
    'i32',
    'i32',
    'i32',
    'memory',
    'memory',
  ]);
  const credentials = Buffer.alloc(UCRED_SIZE);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(UCRED_SIZE);
  const result = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, credentials, size);
  // Of another kind of socket the kernel gives pid 0.
  if (result !== 0 || size.readUInt32LE() !== UCRED_SIZE || credentials.readInt32LE(0) <= 0) {
    throw new Error(`no peer credentials for descriptor ${String(descriptor)}`);
  }
  return {
    pid: credentials.readInt32LE(0),
    uid: credentials.readUInt32LE(4),
    gid: credentials.readUInt32LE(8),
  };
}

const SHUT_RDWR = 2;
const AF_INET = 2;
const AF_INET6 = 10;
/** sizeof(struct sockaddr_storage): room for an address of any family. */
const SOCKADDR_SIZE = 128;

/** Where a socket is connected to: the path of a Unix socket, or a TCP port; null for anything else. */
export function peerAddress(descriptor: number): string | number | null {
  const getpeername = loadLibrary(LIBRARIES.c).function('getpeername', 'i32', ['i32', 'memory', 'memory']);
  const address = Buffer.alloc(SOCKADDR_SIZE);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(SOCKADDR_SIZE);
  if (getpeername(descriptor, address, size) !== 0) return null;
  const family = address.readUInt16LE(0);
  if (family === AF_INET || family === AF_INET6) return address.readUInt16BE(2);
  if (family !== AF_UNIX) return null;
  const path = address.subarray(2, size.readUInt32LE(0)).toString('utf8');
  return path.split('\0', 1)[0] ?? '';
}

/** shutdown(2) of a socket in both directions: a thread that is blocked reading it gets the end of the stream. */
export function shutdownSocket(descriptor: number): void {
  loadLibrary(LIBRARIES.c).function('shutdown', 'i32', ['i32', 'i32'])(descriptor, SHUT_RDWR);
}

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/**
 * Marks every descriptor but the three standard ones FD_CLOEXEC: a process that is started from now on inherits none that C
 * has opened, nor any that this process was started with. What child_process is told to pass on is passed on all the same.
 */
export function closeOnExec(): void {
  const fcntl = loadLibrary(LIBRARIES.c).function('fcntl', 'i32', ['i32', 'i32', 'i32']);
  // The listing's own descriptor is among them, and gone by now: the call that fails says so.
  for (const name of readdirSync('/proc/self/fd'))
    if (Number(name) > 2) fcntl(Number(name), F_SETFD, FD_CLOEXEC);
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * flock(2), exclusive, without waiting. The kernel lets go of it when the descriptor is closed, so also when the process
 * crashes: there is no stale lock to judge.
 * @returns whether this descriptor has the lock now
 */
export function tryLockFile(descriptor: number): boolean {
  return (
    loadLibrary(LIBRARIES.c).function('flock', 'i32', ['i32', 'i32'])(descriptor, LOCK_EX | LOCK_NB) === 0
  );
}

const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0x80000;
/** sizeof(sun_path). */
const SUN_PATH = 108;

/**
 * Sends one datagram to a Unix socket, which Node has no call for: sd_notify(3) is done so.
 * @param path of the socket; `@` at the beginning names an abstract one
 * @returns false when nobody receives there
 * @throws RangeError when the path is no socket's or there is nothing to send
 */
export function sendUnixDatagram(path: string, data: Uint8Array): boolean {
  const name = Buffer.from(path, 'utf8');
  if (name.length === 0 || name.length >= SUN_PATH || data.length === 0)
    throw new RangeError('not a path of a Unix socket, or nothing to send');
  if (path.startsWith('@')) name[0] = 0;
  // An abstract name ends where the address does; a path ends with its NUL.
  const address = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1));
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  const c = loadLibrary(LIBRARIES.c);
  const descriptor = c.function('socket', 'i32', ['i32', 'i32', 'i32'])(
    AF_UNIX,
    SOCK_DGRAM | SOCK_CLOEXEC,
    0,
  );
  if (descriptor < 0) return false;
  try {
    const sendto = c.function('sendto', 'size', ['i32', 'memory', 'size', 'i32', 'memory', 'u32']);
    return sendto(descriptor, Buffer.from(data), data.length, 0, address, address.length) === data.length;
  } finally {
    c.function('close', 'i32', ['i32'])(descriptor);
  }
}
