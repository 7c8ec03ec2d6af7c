// Stands for ONNX Runtime's own module: the same factory, but for the WebAssembly, which the worker has compiled while
// it arrived. What the worker left in `runtime` are the module's address and the promise of what was compiled.

const { script, compiled } = self.runtime;
const { default: factory } = await import(script);

export default (config) =>
  new Promise((resolve, reject) => {
    const instantiateWasm = (imports, receive) => {
      compiled
        .then(async (module) => receive(await WebAssembly.instantiate(module, imports), module))
        .catch(reject);
      return {};
    };
    factory({ ...config, instantiateWasm }).then(resolve, reject);
  });
