import { LIBRARIES, loadLibrary } from './library.ts';

/** Who is at the other end of a Unix socket, as the kernel says (struct ucred). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

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
