-- AUC, F1 and accuracy against brute force in double precision and examples worked by hand.
local metrics = require 'tinykg.train.metrics'
local arrays = require 'tests.support.arrays'
local message_of = require('tests.support.fixtures').message
local random_from = require('tests.support.reference_ops').random

local function near(expected, got, tolerance)
  assert.near(expected, got, tolerance or 1e-12)
end

local function floats(list) return arrays.of('float', list) end

local function brute_auc(scores, labels)
  local pairs_right, pairs_all = 0, 0
  for i = 1, #scores do
    for j = 1, #scores do
      if labels[i] == 1 and labels[j] == 0 then
        pairs_all = pairs_all + 1
        if scores[i] > scores[j] then
          pairs_right = pairs_right + 1
        elseif scores[i] == scores[j] then
          pairs_right = pairs_right + 0.5
        end
      end
    end
  end
  return pairs_right / pairs_all
end

describe('metrics.auc', function()
  it('is the share of ordered pairs in small examples', function()
    -- (.35, .1) and (.8, .1), (.8, .4) right, (.35, .4) wrong: 3 of 4
    near(0.75, metrics.auc({ .1, .4, .35, .8 }, { 0, 0, 1, 1 }))
    near(1, metrics.auc({ -3, 2, 7 }, { 0, 0, 1 }))
    near(0, metrics.auc({ 7, 2, -3 }, { 0, 0, 1 }))
    -- one positive tied with one of two negatives and above the other: (1/2 + 1) / 2
    near(0.75, metrics.auc({ 1, 1, 0 }, { 1, 0, 0 }))
    near(0.5, metrics.auc({ 4, 4, 4, 4 }, { 1, 0, 1, 0 }))
  end)

  it('orders negative, zero, denormal and infinite scores as floats', function()
    local scores = { -math.huge, -1e30, -1, -1e-42, 0, 1e-42, 1, 1e30, math.huge }
    for cut = 1, #scores - 1 do
      local labels = {}
      for i = 1, #scores do labels[i] = i > cut and 1 or 0 end
      near(1, metrics.auc(scores, labels))
    end
    near(0.5, metrics.auc({ -0.0, 0 }, { 0, 1 }))
    near(0.5, metrics.auc({ 0, -0.0 }, { 0, 1 }))
  end)

  it('equals the count over all pairs on random scores with many ties', function()
    local random = random_from(10)
    for _, size in ipairs { 2, 3, 17, 64, 500 } do
      for _, levels in ipairs { 2, 9, 1000000 } do
        local scores, labels = {}, {}
        for i = 1, size do
          -- a whole number of 1/8: exact in float, so the reference sees the same ties
          scores[i], labels[i] = (random(levels) - levels / 2) / 8, random(2)
        end
        labels[1], labels[2] = 0, 1
        near(brute_auc(scores, labels), metrics.auc(scores, labels))
      end
    end
  end)

  it('takes tables, float arrays, pointers, other arrays and objects with totable', function()
    local scores, labels = { .1, .4, .35, .8 }, { 0, 0, 1, 1 }
    local array = floats(scores)
    near(0.75, metrics.auc(array, floats(labels)))
    near(0.75, metrics.auc(array + 0, floats(labels) + 0, 4))
    near(0.75, metrics.auc(arrays.of('double', scores), arrays.of('int32_t', labels)))
    near(0.75, metrics.auc({ totable = function() return scores end },
      { totable = function() return { { 0 }, { 0 }, { 1 }, { 1 } } end }))
    near(0.5, metrics.auc(array, floats(labels), 3)) -- the first three: 1 pair of 2
  end)

  it('refuses NaN, odd labels, one class and unequal lengths, each by name', function()
    local nan = 0 / 0
    assert.matches('score at index 2 of 4 is NaN',
      message_of(metrics.auc, { 1, 2, nan, nan }, { 0, 1, 0, 1 }))
    assert.matches('label at index 1 is 0.5, expected 0 or 1',
      message_of(metrics.auc, { 1, 2 }, { 0, .5 }))
    assert.matches('label at index 0 is %-?nan', message_of(metrics.auc, { 1, 2 }, { nan, 1 }))
    assert.matches('2 labels, 2 of them positive', message_of(metrics.auc, { 1, 2 }, { 1, 1 }))
    assert.matches('2 labels, 0 of them positive', message_of(metrics.auc, { 1, 2 }, { 0, 0 }))
    assert.matches('both classes', message_of(metrics.auc, {}, {}))
    assert.matches('2 scores but 1 labels', message_of(metrics.auc, { 1, 2 }, { 1 }))
    assert.matches('a pointer needs its length', message_of(metrics.auc, floats { 1 } + 0, { 1 }))
    assert.matches('length 9 asked of an array of 2',
      message_of(metrics.auc, floats { 1, 2 }, floats { 0, 1 }, 9))
    assert.matches('expected a table', message_of(metrics.auc, 'scores', { 1 }))
    assert.matches('value 2 is a string', message_of(metrics.auc, { 1, 'x' }, { 0, 1 }))
  end)

  it('blames the line of the caller', function()
    assert.matches('^[^\n]*metrics_spec%.lua:%d+: auc:', message_of(function()
      local value = metrics.auc({ 1 }, { 1 })
      return value
    end))
  end)
end)

describe('metrics.f1 and metrics.accuracy', function()
  -- at .5: tp = {.9, .5}, fp = {.7}, fn = {.2}, tn = {.1, .3}
  local scores, labels = { .9, .5, .7, .2, .1, .3 }, { 1, 1, 0, 1, 0, 0 }

  it('follow the confusion table', function()
    near(2 * 2 / (2 * 2 + 1 + 1), metrics.f1(scores, labels))
    near(4 / 6, metrics.accuracy(scores, labels))
    -- at .8: tp = {.9}, fn = {.5, .2}, tn = {.7, .1, .3}
    near(2 / (2 + 0 + 2), metrics.f1(scores, labels, .8))
    near(4 / 6, metrics.accuracy(scores, labels, .8))
    near(metrics.f1(scores, labels), metrics.f1(floats(scores) + 0, floats(labels) + 0, nil, 6))
  end)

  it('have values where nothing is positive', function()
    near(0, metrics.f1({ .1, .2 }, { 0, 0 }))
    near(0, metrics.f1({ .1, .2 }, { 1, 0 }))
    near(1, metrics.accuracy({ .1, .2 }, { 0, 0 }))
  end)

  it('refuse NaN, odd labels and nothing at all', function()
    assert.matches('f1: score at index 1 is NaN', message_of(metrics.f1, { 1, 0 / 0 }, { 1, 0 }))
    assert.matches('f1: label at index 0 is 2', message_of(metrics.f1, { 1, 0 }, { 2, 0 }))
    assert.matches('accuracy: no scores', message_of(metrics.accuracy, {}, {}))
  end)
end)
