// Simulated chargers in a process of their own: each accepts every Call at once. Our server and the floor get the same
// ones.
import { WebSocket } from 'ws';

const [url = '', password = '', ...ids] = process.argv.slice(2);

function connect(id: string): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${id}:${password}`).toString('base64')}`;
  const socket = new WebSocket(`${url}/${id}`, ['ocpp1.6'], { headers: { authorization }, perMessageDeflate: false });
  socket.on('message', (data) => {
    const [type, messageId] = JSON.parse(data.toString());
    if (type === 2) socket.send(JSON.stringify([3, messageId, { status: 'Accepted' }]));
  });
  return new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
}

await Promise.all(ids.map(connect));
process.send?.('ready');
