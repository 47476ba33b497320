// One WHEP session (draft-ietf-wish-whep): offer, answer, trickle, and its end.
// Addresses are relative to the page's own, which ends in a slash.
import {levelOfHevc} from './webcodecs.js';

const level = levelOfHevc(); // asked at once: the offer does not wait for it

// Where the share says more than a status: {status, text, retryAfter}.
export class Refused extends Error {
  constructor(status, text, retryAfter) {
    super(text || `HTTP status ${status}`);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export function codecsOf(name) {
  const all = RTCRtpReceiver.getCapabilities?.('video')?.codecs ?? [];
  return all.filter((c) => c.mimeType.toLowerCase() === `video/${name}`.toLowerCase());
}

// The ICE servers that Link headers name (WHEP, section 4.6).
export function iceServers(link) {
  const servers = [];
  for (const part of (link ?? '').split(/,\s*(?=<)/)) {
    const m = /^<((?:stun|turn)s?:[^>]+)>(.*)$/i.exec(part.trim());
    if (!m || !/;\s*rel="?ice-server"?/i.test(m[2])) continue;
    const value = (name) => new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i').exec(m[2])?.[1].replace(/\\(.)/g, '$1');
    const server = {urls: m[1]};
    if (value('username') !== undefined) Object.assign(server, {username: value('username'), credential: value('credential')});
    servers.push(server);
  }
  return servers;
}

// Chromium repairs audio as well, when it is told so.
const withNack = (sdp) => sdp.replace(/^a=rtpmap:(\d+) opus\/48000.*\r\n/m, '$&a=rtcp-fb:$1 nack\r\n');

let connections = 0; // the worker tells them apart by their number

const retryAfterOf = (response) => Number(response.headers.get('Retry-After')) || 0;

export class Session {
  // carrier: 'vp8', 'audio' or none; worker: decodes, reader: reads packets of audio; onTrack(receiver, stream), onState('connected' | 'ended', why)
  constructor({carrier, worker, reader, onTrack, onState}) {
    Object.assign(this, {carrier, worker, reader, onTrack, onState, ended: false, queued: []});
  }

  async start() {
    const options = await fetch('whep', {method: 'OPTIONS', cache: 'no-store'});
    if (this.ended) return;
    // "sha256=…" of a certificate that nobody has signed.
    this.certificate = /^sha256=[0-9a-f]{64}$/i.exec(options.headers.get('Hevcast-Certificate') ?? '')?.[0] ?? '';
    const pc = this.pc = new RTCPeerConnection({
      iceServers: iceServers(options.headers.get('Link')), bundlePolicy: 'max-bundle',
    });
    const transceiver = pc.addTransceiver('video', {direction: 'recvonly'});
    const {receiver} = transceiver;
    const wanted = codecsOf(this.carrier ? 'VP8' : 'H265');
    transceiver.setCodecPreferences?.([...wanted, ...codecsOf('rtx')]);
    if (this.carrier) {
      const connection = ++connections;
      receiver.transform = new RTCRtpScriptTransform(this.worker, {connection});
      if (this.carrier === 'audio') {
        const audio = pc.addTransceiver('audio', {direction: 'recvonly'});
        audio.receiver.transform = new RTCRtpScriptTransform(this.reader, {connection});
        this.reading = this.readerReady(connection);
      }
    } else if ('jitterBufferTarget' in receiver) {
      receiver.jitterBufferTarget = 0;
    } else if ('playoutDelayHint' in receiver) {
      receiver.playoutDelayHint = 0;
    }
    pc.ontrack = (e) => this.onTrack(e.receiver, e.streams[0] ?? new MediaStream([e.track]));
    pc.onconnectionstatechange = () => this.watch();
    pc.onicecandidate = (e) => this.trickle(e.candidate);
    await pc.setLocalDescription(await pc.createOffer());
    await this.post(pc.localDescription.sdp);
    receiver.transport?.addEventListener('statechange', () => this.watch());
  }

  // Packets that come before the reader runs are lost, and the browser never asks for them.
  readerReady(connection) {
    return new Promise((resolve) => {
      const hear = ({data}) => {
        if (data.ready < connection) return;
        this.reader.removeEventListener('message', hear);
        resolve();
      };
      this.reader.addEventListener('message', hear);
    });
  }

  async post(sdp) {
    // At once, without waiting for candidates: the share answers whoever reaches it.
    const query = this.carrier ? `?carrier=${this.carrier}&level=${await level}` : '';
    const response = await fetch(`whep${query}`, {
      method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: this.carrier === 'audio' ? withNack(sdp) : sdp, cache: 'no-store',
    });
    const text = await response.text();
    if (response.status !== 201) throw new Refused(response.status, text.trim().slice(0, 300), retryAfterOf(response));
    this.location = new URL(response.headers.get('Location'), response.url).href;
    this.etag = response.headers.get('ETag');
    await this.reading;
    if (this.ended) {
      this.remove();
      return;
    }
    await this.pc.setRemoteDescription({type: 'answer', sdp: text});
    this.flush();
  }

  trickle(candidate) {
    // Names of the local network (mDNS) mean nothing to the share.
    if (candidate?.candidate && !/\.local /.test(candidate.candidate)) {
      this.queued.push(candidate);
      if (!this.flushing) this.flushing = setTimeout(() => this.flush(), 20);
    }
  }

  flush() {
    this.flushing = 0;
    if (this.ended || !this.location || this.queued.length === 0) return;
    const [first] = this.queued;
    const body = [`a=ice-ufrag:${first.usernameFragment}`, 'm=video 9 UDP/TLS/RTP/SAVPF 0', `a=mid:${first.sdpMid}`,
      ...this.queued.map((c) => `a=${c.candidate}`), ''].join('\r\n');
    this.queued = [];
    fetch(this.location, {
      method: 'PATCH', headers: {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': this.etag}, body,
    }).catch(() => {});
  }

  watch() {
    if (this.ended) return;
    const {pc} = this, dtls = pc.getReceivers()[0]?.transport?.state;
    clearTimeout(this.doubt);
    if (pc.connectionState === 'failed' || pc.connectionState === 'closed' || dtls === 'failed' || dtls === 'closed') {
      this.fail(dtls === 'closed' ? 'ended' : 'lost');
    } else if (pc.connectionState === 'disconnected') {
      this.doubt = setTimeout(() => this.fail('lost'), 1500); // it may come back by itself
    } else if (pc.connectionState === 'connected') {
      this.onState('connected');
    }
  }

  fail(why) {
    if (this.ended) return;
    this.end();
    this.onState('ended', why);
  }

  remove() {
    if (this.location) fetch(this.location, {method: 'DELETE', keepalive: true}).catch(() => {});
    this.location = null;
  }

  // Leaves; the share is told.
  end() {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.doubt);
    this.remove();
    this.pc?.close();
  }
}
