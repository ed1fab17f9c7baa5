// How long one call takes, from cold caches.
#pragma once

#include <functional>
#include <vector>

#include "engine/tensor.h"

namespace cytograd::bench {

double median(std::vector<double> values);

/// A call as it is timed. A graph works on the tensors that the call had when it was captured: they must live.
struct TimedCall {
  std::function<void()> run;  ///< `calls` of it; on a GPU one graph, where it can be captured
  int calls = 1;
  int measurements = 1;  ///< that a repetition takes the median of
};

/// Times calls on one device. Between any two the last-level cache is filled with something else, but for a GPU's short
/// ones. The fill leaves a GPU's L2 full of dirty lines: writing them back falls into the timed call, while the call's
/// own are written after it, so that a kernel that only reads is charged one L2's size of traffic more. A GPU's time is
/// its own, without the host's for queueing the call: work is a graph where it can be captured, queued while the GPU is
/// still at the fill; where that cannot be had, standard error says so.
class Stopwatch {
 public:
  /// `cold`: false leaves the caches as they are, for a trial that only sees that everything runs.
  Stopwatch(Device device, bool cold);

  /// Runs the call a few times, and finds how many belong into one measurement: one, but of a GPU's calls below 20 us
  /// as many as take four times that, which find in its caches what the one before left there.
  TimedCall prepare(const std::function<void()>& call) const;

  /// Of one call.
  double seconds(const TimedCall& timed);

 private:
  void flush();
  double seconds_from_warm(const TimedCall& timed) const;

  Device device_;
  Tensor other_;   // twice the last-level cache; undefined: caches are left alone
  int fills_ = 1;  // of `other_`, on a GPU as many as take longer than it takes to queue the call
  bool told_ = false;
};

}  // namespace cytograd::bench
