#!/usr/bin/perl
# t/900-demo.t - the whole gateway at once: the samples of contrib/demo through policyd with Redis and DNS, both milters, queue and delivery.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Gatepost::Test;
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
plan skip_all => "no $_" for grep { my $p = $_; !grep { -x "$_/$p" } split(/:/, $ENV{PATH}), '/usr/sbin' } qw(redis-server opendkim);
plan skip_all => 'no Mail::DKIM' unless eval { require Mail::DKIM::Signer; 1 };
$ENV{GATEPOST_BUILD} = Gatepost::Test::build();
my $table = `$^X -I $top/t/lib $top/contrib/demo-samples 2>&1`;
is $?, 0, 'exit status' or diag $table;
like $table, qr{^(\d+)/\1 as expected\.$}m, 'every sample fared as expected';
done_testing;
