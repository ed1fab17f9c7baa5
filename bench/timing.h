// How long one call takes, from cold caches.
#pragma once

#include <functional>
#include <vector>

#include "engine/tensor.h"

namespace cytograd::bench {

double median(std::vector<double> values);

/// Times calls on one device. Between any two the last-level cache is filled with something else.
class Stopwatch {
 public:
  /// `cold`: false leaves the caches as they are, for a trial that only sees that everything runs.
  Stopwatch(Device device, bool cold);

  /// Runs the call a few times, and finds how many belong into one measurement: on a GPU, as many as take 20 us, since
  /// launching one takes some of that; and how many measurements a repetition takes the median of.
  struct Plan {
    int calls = 1;
    int measurements = 1;
  };
  Plan warm_up(const std::function<void()>& call) const;

  double seconds(const std::function<void()>& call, int calls);

 private:
  void flush();
  double timed(const std::function<void()>& call, int calls) const;

  Device device_;
  Tensor other_;  // twice the last-level cache; undefined: caches are left alone
};

}  // namespace cytograd::bench
