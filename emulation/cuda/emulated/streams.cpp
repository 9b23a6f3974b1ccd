// Streams, events and graphs. All work runs when it is submitted, except in a capture: there it is kept, and runs with the graph.
#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "emulated/emulated.h"
#include "emulated/limits.h"

namespace emulated {
namespace {

using Work = std::vector<std::function<void()>>;

struct Capture {
  Work work;  // in the order of submission, which no stream's or event's order contradicts
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  bool lost = false;
  std::vector<cudaStream_t> streams;  // the origin, and those that joined by waiting for an event
};

std::mutex guard;
std::vector<std::shared_ptr<Capture>> captures;               // those that have begun and not ended
std::unordered_map<const void*, std::size_t> allowed_shared;  // kernel -> dynamic shared memory, where it was asked for

}  // namespace
}  // namespace emulated

struct CUstream_st {
  bool blocking = false;
  std::shared_ptr<emulated::Capture> capture;
  std::size_t submitted = 0;  // in this capture
  bool joined_back = true;    // what it submitted was waited for by another stream of the capture
};
struct CUevent_st {
  bool timed = false, recorded = false;
  std::chrono::steady_clock::time_point time;
  // Where it was last recorded, if that was in a capture.
  std::shared_ptr<emulated::Capture> capture;
  cudaStream_t stream = nullptr;
  std::size_t submitted = 0;
};
struct CUgraph_st {
  emulated::Work work;
};
struct CUgraphExec_st {
  emulated::Work work;
};

namespace emulated {
namespace {

template <class T>
cudaError_t make(T** object, T value) {
  *object = new T(std::move(value));
  count_object(1);
  return cudaSuccess;
}

template <class T>
cudaError_t destroy(T* object) {
  if (object == nullptr) return told(cudaErrorInvalidResourceHandle);
  delete object;
  count_object(-1);
  return cudaSuccess;
}

// The legacy stream waits for every blocking one, so it may not be used while one of those captures.
cudaError_t use_legacy_stream() {
  cudaError_t error = cudaSuccess;
  for (const auto& capture : captures) {
    if (std::none_of(capture->streams.begin(), capture->streams.end(), [](cudaStream_t stream) { return stream->blocking; }))
      continue;
    capture->lost = true;
    error = cudaErrorStreamCaptureImplicit;
  }
  return error;
}

cudaError_t begin_capture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::scoped_lock lock(guard);
  if (stream == nullptr) return cudaErrorStreamCaptureUnsupported;
  if (stream->capture != nullptr) return cudaErrorIllegalState;
  stream->capture = std::make_shared<Capture>();
  *stream->capture = {{}, stream, mode, std::this_thread::get_id(), false, {stream}};
  stream->submitted = 0;
  stream->joined_back = true;
  captures.push_back(stream->capture);
  return cudaSuccess;
}

cudaError_t end_capture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::scoped_lock lock(guard);
  *graph = nullptr;
  if (stream == nullptr || stream->capture == nullptr) return cudaErrorIllegalState;
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture->origin != stream) return cudaErrorStreamCaptureUnmatched;
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    return cudaErrorStreamCaptureWrongThread;
  const bool joined = std::all_of(capture->streams.begin(), capture->streams.end(),
                                  [&](cudaStream_t one) { return one == stream || one->joined_back; });
  for (cudaStream_t one : capture->streams) one->capture = nullptr;
  std::erase(captures, capture);
  if (capture->lost) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  return make(graph, CUgraph_st{std::move(capture->work)});
}

cudaError_t wait_event(cudaStream_t stream, cudaEvent_t event) {
  const std::scoped_lock lock(guard);
  if (event == nullptr) return cudaErrorInvalidResourceHandle;
  Capture* capture = event->capture.get();
  if (capture == nullptr) {
    if (stream == nullptr || stream->capture == nullptr || !event->recorded) return cudaSuccess;
    stream->capture->lost = true;  // a graph cannot wait for what is outside it
    return cudaErrorStreamCaptureIsolation;
  }
  if (stream == nullptr) return cudaErrorStreamCaptureImplicit;
  if (std::find(captures.begin(), captures.end(), event->capture) == captures.end()) return cudaErrorCapturedEvent;
  if (stream->capture == nullptr) {
    stream->capture = event->capture;
    stream->submitted = 0;
    stream->joined_back = false;
    capture->streams.push_back(stream);
  } else if (stream->capture != event->capture) {
    stream->capture->lost = capture->lost = true;
    return cudaErrorStreamCaptureMerge;
  }
  if (std::find(capture->streams.begin(), capture->streams.end(), event->stream) != capture->streams.end() &&
      event->stream != stream && event->stream->submitted == event->submitted)
    event->stream->joined_back = true;
  return cudaSuccess;
}

cudaError_t record_event(cudaEvent_t event, cudaStream_t stream) {
  const std::scoped_lock lock(guard);
  if (event == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream == nullptr)
    if (const cudaError_t error = use_legacy_stream(); error != cudaSuccess) return error;
  event->recorded = true;
  event->time = std::chrono::steady_clock::now();
  event->capture = stream != nullptr ? stream->capture : nullptr;
  event->stream = stream;
  event->submitted = stream != nullptr ? stream->submitted : 0;
  return cudaSuccess;
}

cudaError_t wait_for_host(const CUevent_st* event) {
  const std::scoped_lock lock(guard);
  if (event == nullptr) return cudaErrorInvalidResourceHandle;
  if (event->capture == nullptr) return cudaSuccess;
  event->capture->lost = true;
  return cudaErrorCapturedEvent;
}

cudaError_t wait_for_stream(cudaStream_t stream) {
  const std::scoped_lock lock(guard);
  if (stream == nullptr) return use_legacy_stream();
  if (stream->capture == nullptr) return cudaSuccess;
  stream->capture->lost = true;
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace

cudaError_t submit(cudaStream_t stream, std::function<void()> work) {
  {
    const std::scoped_lock lock(guard);
    if (stream == nullptr) {
      if (const cudaError_t error = use_legacy_stream(); error != cudaSuccess) return told(error);
    } else if (stream->capture != nullptr) {
      if (stream->capture->lost) return told(cudaErrorStreamCaptureInvalidated);
      stream->capture->work.push_back(std::move(work));
      ++stream->submitted;
      stream->joined_back = false;
      return cudaSuccess;
    }
  }
  work();
  return cudaSuccess;
}

cudaError_t refuse_in_capture() {
  const std::scoped_lock lock(guard);
  cudaError_t error = cudaSuccess;
  for (const auto& capture : captures) {
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (capture->mode == cudaStreamCaptureModeThreadLocal && capture->thread != std::this_thread::get_id()) continue;
    capture->lost = true;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return told(error);
}

cudaError_t check_launch(const cudaLaunchConfig_t* config, const void* kernel) {
  if (config == nullptr || kernel == nullptr) return told(cudaErrorInvalidValue);
  const dim3 &grid = config->gridDim, &block = config->blockDim;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || block.x == 0 || block.y == 0 || block.z == 0 || grid.x > 0x7fffffff ||
      grid.y > 65535 || grid.z > 65535 || block.x > 1024 || block.y > 1024 || block.z > 64 || block.x * block.y * block.z > 1024)
    return told(cudaErrorInvalidConfiguration);
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id != cudaLaunchAttributeProgrammaticStreamSerialization &&
        config->attrs[i].id != cudaLaunchAttributeIgnore)
      return told(cudaErrorNotSupported);
  if (config->dynamicSmemBytes > most_shared_memory() - static_shared_memory) return told(cudaErrorInvalidConfiguration);
  const std::scoped_lock lock(guard);
  const auto allowed = allowed_shared.find(kernel);
  const std::size_t most =
      std::max(plain_shared_memory - static_shared_memory, allowed != allowed_shared.end() ? allowed->second : 0);
  return told(config->dynamicSmemBytes > most ? cudaErrorInvalidValue : cudaSuccess);
}

bool may_begin_early(const cudaLaunchConfig_t& config) {
  return std::any_of(config.attrs, config.attrs + config.numAttrs, [](const cudaLaunchAttribute& attribute) {
    return attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization &&
           attribute.val.programmaticStreamSerializationAllowed != 0;
  });
}

}  // namespace emulated

using emulated::told;

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (kernel == nullptr || value < 0) return told(cudaErrorInvalidValue);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (static_cast<std::size_t>(value) > emulated::most_shared_memory() - emulated::static_shared_memory)
    return told(cudaErrorInvalidValue);
  const std::scoped_lock lock(emulated::guard);
  emulated::allowed_shared[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  if (attributes == nullptr || kernel == nullptr) return told(cudaErrorInvalidValue);
  *attributes = {};
  if (emulated::compute_capability() < emulated::oldest_with_kernels) return told(cudaErrorNoKernelImageForDevice);
  attributes->ptxVersion = attributes->binaryVersion = emulated::compute_capability();
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (stream == nullptr || flags > cudaStreamNonBlocking) return told(cudaErrorInvalidValue);
  return emulated::make(stream, CUstream_st{flags != cudaStreamNonBlocking, nullptr, 0, true});
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream != nullptr) {
    const std::scoped_lock lock(emulated::guard);
    if (const auto capture = stream->capture; capture != nullptr) {
      capture->lost = true;
      std::erase(capture->streams, stream);
      if (capture->origin == stream) {
        for (cudaStream_t one : capture->streams) one->capture = nullptr;
        std::erase(emulated::captures, capture);
      }
    }
  }
  return emulated::destroy(stream);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return told(emulated::wait_for_stream(stream)); }
cudaError_t cudaStreamQuery(cudaStream_t stream) { return told(emulated::wait_for_stream(stream)); }

cudaError_t cudaDeviceSynchronize() {
  const std::scoped_lock lock(emulated::guard);
  for (const auto& capture : emulated::captures) capture->lost = true;
  return told(emulated::captures.empty() ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return told(emulated::wait_event(stream, event));
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (event == nullptr) return told(cudaErrorInvalidValue);
  CUevent_st made;
  made.timed = (flags & cudaEventDisableTiming) == 0;
  return emulated::make(event, std::move(made));
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return told(emulated::record_event(event, stream)); }

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  if (flags == cudaEventRecordDefault) return cudaEventRecord(event, stream);
  // A node of the graph: recorded whenever that runs.
  if (event == nullptr || stream == nullptr || stream->capture == nullptr) return told(cudaErrorInvalidValue);
  return emulated::submit(stream, [event, stream] {
    const std::scoped_lock lock(emulated::guard);
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
    event->capture = nullptr, event->stream = stream;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return told(emulated::wait_for_host(event)); }
cudaError_t cudaEventQuery(cudaEvent_t event) { return told(emulated::wait_for_host(event)); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (start == nullptr || end == nullptr || !start->timed || !end->timed || !start->recorded || !end->recorded)
    return told(cudaErrorInvalidResourceHandle);
  if (start->capture != nullptr || end->capture != nullptr) return told(cudaErrorCapturedEvent);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) { return emulated::destroy(event); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return told(emulated::begin_capture(stream, mode));
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) { return told(emulated::end_capture(stream, graph)); }

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::scoped_lock lock(emulated::guard);
  if (stream == nullptr || stream->capture == nullptr)
    *status = cudaStreamCaptureStatusNone;
  else
    *status = stream->capture->lost ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

// Nodes have no handles here: they can be counted.
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  if (graph == nullptr || count == nullptr) return told(cudaErrorInvalidValue);
  if (nodes != nullptr) return told(cudaErrorNotSupported);
  *count = graph->work.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (exec == nullptr || graph == nullptr) return told(cudaErrorInvalidValue);
  return emulated::make(exec, CUgraphExec_st{graph->work});
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (exec == nullptr) return told(cudaErrorInvalidResourceHandle);
  return emulated::submit(stream, [work = exec->work] {
    for (const auto& one : work) one();
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t) {
  return told(exec != nullptr ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return emulated::destroy(exec); }
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return emulated::destroy(graph); }
