// Loader of the compiled WebAssembly, in the place of ONNX Runtime's own module: the same factory, but the worker has
// compiled the WebAssembly while it arrived. The worker leaves the module's address and that promise in `runtime`.

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
