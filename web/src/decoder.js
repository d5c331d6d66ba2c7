// Decodes the packets of a sound track with the browser's decoders (WebCodecs), in the memory of a few packets.

import { AudioSample, AudioSampleSink, EncodedPacketSink } from "mediabunny";

const QUEUE = 16; // packets that a decoder may have to do
const PCM = /^(pcm|ulaw|alaw)/; // mediabunny decodes it, also where the browser has no decoders

/** Whether a track can be decoded here. */
export async function canDecode(track) {
  const codec = await track.getCodec();
  return codec !== null && (PCM.test(codec) || (await track.canDecode()));
}

/** Decodes a track, and counts the packets that it has to skip. */
export class Decoder {
  /** @param {InputAudioTrack} track of mediabunny, for which `canDecode` is true */
  constructor(track) {
    this.track = track;
    this.frames = this.damaged = 0; // packets
    this.failed = false; // whether reading broke off
    this.ready = []; // frames that nobody has taken yet
    this.pending = []; // packets whose frames are not there yet
    this.again = []; // packets for the next decoder: the last one failed before it came to them
    this.decoder = null;
    this.wake = () => {};
  }

  /**
   * All frames in order: {sample, packet, restarted}. sample: mediabunny's AudioSample, to be closed by whoever takes it;
   * packet: what it was decoded from, with its `timestamp` and `duration` in seconds, or null if that is not known;
   * restarted: whether this is a decoder's first frame.
   */
  async *run() {
    this.config = await this.track.getDecoderConfig();
    for await (const frame of PCM.test(this.config.codec) ? this.#pcm() : this.#frames()) {
      this.frames += 1;
      yield frame;
    }
  }

  async *#pcm() {
    const samples = new AudioSampleSink(this.track).samples();
    const next = () =>
      samples.next().catch(() => {
        this.failed = true;
        return { done: true };
      });
    for (let one = await next(); !one.done; one = await next()) {
      yield { sample: one.value, packet: one.value, restarted: false };
    }
  }

  async *#frames() {
    const sink = new EncodedPacketSink(this.track);
    let read; // the last packet that was read; null at the end
    try {
      for (let packet; packet !== null;) {
        packet = this.again.shift();
        if (!packet && read !== null) read = await this.#next(sink, read);
        packet ??= read;
        if (packet) this.#submit(packet);
        yield* this.#finished(packet ? QUEUE : 0);
        if (this.decoder?.state !== "closed") continue;
        this.#skipDamage();
        packet = undefined; // there may be more
      }
      // Some decoders pass over damaged packets. Vorbis gives nothing for its first one.
      this.damaged += Math.max(0, this.pending.length - (this.config.codec === "vorbis"));
    } finally {
      if (this.decoder?.state === "configured") this.decoder.close();
      for (const { sample } of this.ready) sample.close();
    }
  }

  /** The next packet; null at the end, also if the rest of the file cannot be read. */
  async #next(sink, packet) {
    try {
      return await (packet ? sink.getNextPacket(packet) : sink.getFirstPacket());
    } catch {
      this.failed = true;
      return null;
    }
  }

  #submit(packet) {
    this.decoder ??= this.#create();
    this.pending.push(packet);
    if (this.decoder.state === "configured") this.decoder.decode(packet.toEncodedAudioChunk());
  }

  /** Yields frames until the decoder has failed, or has at most `left` packets to do; if that is 0, all that it held back. */
  async *#finished(left) {
    let flushing = left === 0 && this.decoder?.state === "configured";
    const end = () => {
      flushing = false;
      this.wake();
    };
    if (flushing) this.decoder.flush().then(end, end);
    for (;;) {
      while (this.ready.length) yield this.ready.shift();
      if (this.decoder?.state !== "configured" || (!flushing && this.decoder.decodeQueueSize <= left)) return;
      await new Promise((resolve) => (this.wake = resolve));
    }
  }

  #create() {
    let restarted = true;
    const decoder = new AudioDecoder({
      output: (data) => {
        this.ready.push({ sample: new AudioSample(data), packet: this.pending.shift() ?? null, restarted });
        restarted = false;
        this.wake();
      },
      error: () => this.wake(),
    });
    decoder.ondequeue = () => this.wake();
    decoder.configure(this.config);
    return decoder;
  }

  /** A decoder that fails is closed. Its packets go to a new one, without the first of them, at which it failed. */
  #skipDamage() {
    this.again.unshift(...this.pending.slice(1));
    this.pending = [];
    this.decoder = null;
    this.damaged += 1;
  }
}
