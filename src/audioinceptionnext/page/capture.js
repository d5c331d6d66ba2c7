// Runs in the audio thread: sends the microphone's samples, a block of about 40 ms for each channel.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.start(0);
  }

  start(channels) {
    this.blocks = Array.from({ length: channels }, () => new Float32Array(2048));
    this.filled = 0;
  }

  send(next) {
    if (this.filled) this.port.postMessage(this.blocks.map((block) => block.subarray(0, this.filled)));
    this.start(next);
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    if (channels.length !== this.blocks.length) this.send(channels.length);
    channels.forEach((channel, index) => this.blocks[index].set(channel, this.filled));
    this.filled += channels[0].length; // 128, of which a block is a multiple
    if (this.filled === 2048) this.send(channels.length);
    return true;
  }
}

registerProcessor("capture", Capture);
