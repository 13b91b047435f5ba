#!@NODE@
// A workload that starts another one: it asks its child socket (docs/PROTOCOL.md, "Child socket"), with nothing of
// Sealgate's own. Its argument is the child's order; what the child prints goes on, the answer is the last line.
const net = require('node:net');
const [, , order] = process.argv;
const socket = net.connect(process.env.SEALGATE_CHILD_SOCKET);
const send = (type, payload) => {
  const header = Buffer.alloc(5);
  header.writeUInt8(type);
  header.writeUInt32BE(payload.length, 1);
  socket.write(Buffer.concat([header, payload]));
};
let rest = Buffer.alloc(0);
socket.on('data', (part) => {
  rest = Buffer.concat([rest, part]);
  while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
    const end = 5 + rest.readUInt32BE(1);
    const [type, payload] = [rest[0], rest.subarray(5, end).toString()];
    rest = rest.subarray(end);
    if (type === 0x12 || type === 0x13) process.stdout.write(payload);
    if (type === 0x14) console.log(payload);
  }
});
send(0x01, Buffer.from(`{"v":1,"op":"run","order":${order}}`));
send(0x02, Buffer.alloc(0));
