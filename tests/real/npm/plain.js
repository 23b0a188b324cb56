// The two plain clients of the npm package `openai`: they carry events and leave the rest to the application.
//
//   plain.ask({transport, server, key, text})   a call, one question in writing; all events up to the answer's end

import OpenAI from 'openai';
import { OpenAIRealtimeWebRTC } from 'openai/realtime/webrtc';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';

window.plain = {
  async ask({ transport, server, key, text }) {
    const seen = [];
    let line;
    const done = new Promise((resolve, reject) => {
      const take = (event) => {
        seen.push(event);
        if (event.type === 'session.created') line.send({ type: 'session.update', session: { type: 'realtime', output_modalities: ['text'] } });
        if (event.type === 'session.updated') {
          line.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] } });
          line.send({ type: 'response.create' });
        }
        if (event.type === 'response.done') resolve();
        if (event.type === 'error') reject(new Error(event.error.message));
      };
      if (transport === 'websocket') {
        line = new OpenAIRealtimeWebSocket({ model: 'viva' }, new OpenAI({ apiKey: key, baseURL: `${server}/v1`, dangerouslyAllowBrowser: true }));
        line.on('event', take);
        line.on('error', reject);
      } else {
        line = new OpenAIRealtimeWebRTC();
        line.peerConnection.addTransceiver('audio');
        line.onEvent(take);
        line.connect({ exchangeSdp: async (offer, { signal }) => {
          const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/sdp' };
          return (await fetch(`${server}/v1/realtime/calls`, { method: 'POST', headers, body: offer, signal })).text();
        } }).catch(reject);
      }
    });
    await done;
    line.close();
    return seen;
  },
};
